"""What people and programs see: the store, the service, the figures."""
