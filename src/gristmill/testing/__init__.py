"""A made-up upstream on the loopback, for the demo, for recipe authors and for tests.

`web.FakeWeb` serves photographs and plays faults, `hub.FakeHub` is a dataset hub that the unmodified
`huggingface_hub` client talks to, `rows` makes annotation rows that lead to them. `wikimedia.FakeWikimedia` enforces
that host's rules. `memory_store.MemoryStore` is a store that can do no more than an object store, and plays
faults; `seaweed.seaweed` runs a real one.
"""
