"""How a message is carried: each module is one way."""
