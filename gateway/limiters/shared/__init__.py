"""Limits that are exact across all processes of one host: buckets in shared memory, a lock per stripe.

`segment` holds the memory, `mutexes` the locks, `table` finds and forgets buckets, `buckets` moves them with the
arithmetic of `domain.bucket`, `ledger` knows what each worker holds; `limiter`, `throttle` and `headcount` are the
ports over it, `books` carries quotas between the memory and the key store.

A worker may be killed between any two instructions. Nothing is repaired then, because nothing can be half done: every
change is a sequence of stores of one aligned word each, in such an order that after each of them the memory is whole
and admits no more than before. The kernel hands the locks of the dead to whoever asks next. What is lost is at most
the one request that the dead worker was charging: it may stay charged, though it was never admitted.
"""
