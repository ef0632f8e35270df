"""What must hold between values of a valid model: one file per subject, one generator per rule.

A rule takes the typed config and yields findings; it never raises and never looks at files.
"""
