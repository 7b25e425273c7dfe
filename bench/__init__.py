"""Gristmill's benchmarks: figures as ratios against named baselines, in one run on one machine."""
