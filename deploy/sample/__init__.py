"""Sample databases: schema and rows made by code, the same on every machine and every day."""
