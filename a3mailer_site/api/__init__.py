"""The floor of the REST API: error envelope, pagination, permissions, request ids."""
