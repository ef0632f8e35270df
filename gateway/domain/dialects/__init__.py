"""Dialects: how a denial looks on the wire.

`definition` says what a dialect is made of; one file per dialect holds its table and envelope as
data; `fill` knows what only a request knows; `compose` turns both into ready answers at load time;
`render` hands them out; `accept` lets a client ask for problem+json; `catalog` names them all.
"""
