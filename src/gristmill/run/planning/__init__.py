"""Planning finds the tasks of a dataset and gives out the next one; no stage is named here.

``stage`` says what a stage is. ``pipeline`` finds the stages of a recipe. ``planner`` walks through them, and keeps
the tasks that can be done. ``plan`` says what a run would do.
"""
