"""The one resolver: questions to the DNS, asked without blocking and remembered."""
