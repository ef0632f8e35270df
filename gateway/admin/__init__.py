"""The admin listener: operators change keys and tenants here, with their own credentials."""
