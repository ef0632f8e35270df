"""The one door through which keys, tenants and admin tokens change, whoever asks for it."""
