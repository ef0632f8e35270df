"""What makes a change to the audit trail visible: signatures over the chain, a check of it, exports, and retention.

`signer` holds the key, `files` what stands beside the store, `chain` the check of one chain record by record, `keeper`
signs what is new, `room` is the door to all of it for operators, and `export` the form in which a trail leaves. The
records themselves are made in `domain/audit.py` and kept by a store.
"""
