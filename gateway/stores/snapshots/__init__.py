"""A signed snapshot of the key records, beside the store: what a gateway serves by while its store is broken.

Two files: the pages, written once and never changed, and a journal of every change since, which is forced to the disk
before a change is acknowledged. Neither holds a secret, only what the store holds: keys by their keyed hash.
"""
