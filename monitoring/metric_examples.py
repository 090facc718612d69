"""The API reference's examples of the metrics operations, for the OpenAPI document; ours where it has none."""

from typing import Any

SYSTEM: dict[str, Any] = {
    "timestamp": "2024-01-15T10:30:00Z",
    "cpu_usage": 45.2,
    "memory_usage": 2147483648,
    "memory_total": 8589934592,
    "disk_usage": 53687091200,
    "disk_total": 107374182400,
    "network_rx_bytes": 1048576000,
    "network_tx_bytes": 524288000,
    "load_average": {"1m": 1.25, "5m": 1.15, "15m": 1.05},
    "active_connections": 234,
    "uptime": 86400,
}
APPLICATION: dict[str, Any] = {
    "timestamp": "2024-01-15T10:30:00Z",
    "total_requests": 12345,
    "successful_requests": 12000,
    "failed_requests": 345,
    "avg_response_time": 150.5,
    "p95_response_time": 500.0,
    "p99_response_time": 1000.0,
    "requests_per_second": 25.5,
    "active_sessions": 150,
    "queue_sizes": {"incoming": 50, "outgoing": 75, "processing": 25},
    "cache_hit_rates": {"user_cache": 0.85, "domain_cache": 0.92, "config_cache": 0.98},
}
PROMETHEUS = """\
# HELP stalwart_cpu_usage_percent CPU usage percentage
# TYPE stalwart_cpu_usage_percent gauge
stalwart_cpu_usage_percent 45.2

# HELP stalwart_memory_usage_bytes Memory usage in bytes
# TYPE stalwart_memory_usage_bytes gauge
stalwart_memory_usage_bytes 2147483648

# HELP stalwart_http_requests_total Total HTTP requests
# TYPE stalwart_http_requests_total counter
stalwart_http_requests_total{method="GET",status="200"} 12000
stalwart_http_requests_total{method="POST",status="201"} 300
stalwart_http_requests_total{method="GET",status="404"} 45

# HELP stalwart_response_time_seconds Response time in seconds
# TYPE stalwart_response_time_seconds histogram
stalwart_response_time_seconds_bucket{le="0.1"} 8000
stalwart_response_time_seconds_bucket{le="0.5"} 11500
stalwart_response_time_seconds_bucket{le="1.0"} 12000
stalwart_response_time_seconds_bucket{le="+Inf"} 12345
stalwart_response_time_seconds_sum 1850.5
stalwart_response_time_seconds_count 12345
"""
CUSTOM: dict[str, Any] = {
    "name": "custom_counter",
    "type": "counter",
    "value": 42,
    "labels": {"service": "email_processor", "environment": "production"},
}
# The reference shows no answers here.
STORED: dict[str, Any] = {**CUSTOM, "timestamp": "2024-01-15T10:30:00Z"}
CUSTOM_SERIES: dict[str, Any] = {
    "name": CUSTOM["name"],
    "type": CUSTOM["type"],
    "series": [{"labels": CUSTOM["labels"], "value": CUSTOM["value"], "timestamp": "2024-01-15T10:30:00Z"}],
}
