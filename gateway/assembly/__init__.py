"""The composition root: a configuration in, running parts out.

`policy` turns the typed config into domain values, `binder` a stored key into what a request needs, `generation` builds
everything that one configuration means, `keys` opens the store and the keyring, `recorders` what is told about
requests, `sockets` where they come in; `gateway` opens it all in order and closes it in reverse.
"""
