"""The dashboard: who is signed in, and the files that a browser is given; the pages use the admin API like anybody."""
