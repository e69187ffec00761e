"""A flush: what was recorded is taken in, reconciled and written, in one thread at a time.

`flushing` says when, `committing` what goes along, `pipeline` how: through `deferral` and `admission` to
`reconcile` and `write`. `lifecycle` flushes before a run or the program ends; `entrances` are where other
processes come in, and `journaling` keeps what is under way.
"""
