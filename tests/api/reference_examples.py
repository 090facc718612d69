"""Every JSON block of the API reference, as it is printed there, and the operation that it belongs to.

``EXAMPLES`` has (method, path, "request" or "response", value). Data only; who wants to know that they are in the
OpenAPI document or that the server really answers like that imports them.
"""

KEY_REQUEST = {"name": "monitoring-key", "permissions": ["read", "write"], "expires_at": "2024-12-31T23:59:59Z"}
KEY_RESPONSE = {
    "key_id": "key_123456789",
    "api_key": "sk_live_abcdef123456789",
    "name": "monitoring-key",
    "permissions": ["read", "write"],
    "created_at": "2024-01-15T10:30:00Z",
    "expires_at": "2024-12-31T23:59:59Z",
}
SERVER_INFO = {
    "version": "0.13.1",
    "build_date": "2024-01-15T10:00:00Z",
    "uptime": 86400,
    "hostname": "mail.example.com",
    "features": ["smtp", "imap", "pop3", "monitoring", "security"],
    "status": "running",
}
USER_REQUEST = {
    "username": "john.doe",
    "email": "john.doe@example.com",
    "password": "secure_password_123",
    "quota": 1073741824,
    "enabled": True,
    "groups": ["users", "staff"],
}
# curl and the SDK send three fields.
USER_SHORT = {"username": "john.doe", "email": "john.doe@example.com", "password": "secure_password"}
USERS = {
    "users": [
        {
            "id": "user_123",
            "username": "john.doe",
            "email": "john.doe@example.com",
            "quota": 1073741824,
            "used_quota": 536870912,
            "enabled": True,
            "created_at": "2024-01-01T00:00:00Z",
            "last_login": "2024-01-15T09:30:00Z",
        }
    ],
    "total": 1,
    "page": 1,
    "limit": 50,
}
USER_CHANGE = {"quota": 2147483648, "enabled": True, "groups": ["users", "staff", "admin"]}
DOMAIN_REQUEST = {"domain": "example.com", "enabled": True, "max_users": 1000, "max_quota": 107374182400}
QUEUE_STATUS = {
    "total_messages": 150,
    "active_messages": 10,
    "deferred_messages": 5,
    "bounced_messages": 2,
    "queues": {"incoming": 50, "outgoing": 75, "retry": 20, "bounce": 5},
}
METRICS_SYSTEM = {
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
METRICS_APPLICATION = {
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
METRICS_TEXT = """\
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
METRICS_CUSTOM = {
    "name": "custom_counter",
    "type": "counter",
    "value": 42,
    "labels": {"service": "email_processor", "environment": "production"},
}
SECURITY_OVERVIEW = {
    "security_score": 0.95,
    "threat_level": "low",
    "active_threats": 2,
    "blocked_ips": 15,
    "failed_auth_attempts": 45,
    "rate_limit_violations": 8,
    "last_security_scan": "2024-01-15T09:00:00Z",
    "security_events": {"last_24h": 23, "last_7d": 156, "last_30d": 678},
}
BLOCK_IP = {
    "ip_address": "192.0.2.100",
    "reason": "Brute force attack detected",
    "duration": 3600,
    "permanent": False,
}
AUDIT_LOGS = {
    "logs": [
        {
            "id": "audit_123456",
            "timestamp": "2024-01-15T10:30:00Z",
            "event_type": "authentication",
            "severity": "warning",
            "outcome": "failure",
            "source_ip": "192.0.2.100",
            "user_id": "user_123",
            "action": "login_failed",
            "description": "Failed login attempt for user john.doe",
            "metadata": {"user_agent": "Mozilla/5.0...", "method": "password"},
        }
    ],
    "total": 1,
    "page": 1,
    "limit": 100,
}
RATE_LIMITS = {
    "global": {"max_requests": 1000, "window_seconds": 60},
    "per_ip": {"max_requests": 100, "window_seconds": 60},
    "per_user": {"max_requests": 500, "window_seconds": 60},
}
PERFORMANCE_STATS = {
    "connection_pool": {
        "total_connections": 50,
        "active_connections": 25,
        "idle_connections": 20,
        "failed_connections": 5,
        "avg_connection_time": 15.5,
        "connection_reuse_rate": 0.85,
    },
    "cache_performance": {
        "hit_rate": 0.92,
        "miss_rate": 0.08,
        "eviction_rate": 0.02,
        "avg_lookup_time": 2.5,
        "cache_size": 1073741824,
        "cache_utilization": 0.75,
    },
    "request_performance": {
        "avg_response_time": 150.5,
        "p50_response_time": 100.0,
        "p95_response_time": 500.0,
        "p99_response_time": 1000.0,
        "throughput": 25.5,
        "error_rate": 0.028,
    },
}
RECOMMENDATIONS = {
    "recommendations": [
        {
            "category": "cache",
            "priority": "high",
            "title": "增加缓存大小",
            "description": "当前缓存命中率为 85%，建议增加缓存大小以提高性能",
            "impact": "可提升 15% 的响应速度",
            "action": "将缓存大小从 1GB 增加到 2GB",
        },
        {
            "category": "connection_pool",
            "priority": "medium",
            "title": "优化连接池配置",
            "description": "连接复用率较低，建议调整连接池参数",
            "impact": "可减少 20% 的连接开销",
            "action": "增加最大空闲连接数到 30",
        },
    ]
}
OPTIMIZE = {
    "optimizations": [
        {"type": "cache_size", "value": 2147483648},
        {"type": "connection_pool_size", "value": 100},
    ]
}
HEALTH = {
    "status": "healthy",
    "timestamp": "2024-01-15T10:30:00Z",
    "uptime": 86400,
    "version": "0.13.1",
    "checks": {
        "database": {
            "status": "healthy",
            "response_time": 5,
            "details": {"connection_pool": "10/20 active", "query_time": "5ms"},
        },
        "cache": {
            "status": "healthy",
            "response_time": 2,
            "details": {"hit_rate": "85%", "memory_usage": "512MB"},
        },
        "disk_space": {
            "status": "healthy",
            "response_time": 1,
            "details": {"usage_percent": "75%", "available_space": "25GB"},
        },
        "memory": {
            "status": "healthy",
            "response_time": 1,
            "details": {"usage_percent": "65%", "available_memory": "2GB"},
        },
    },
}
READY = {
    "ready": True,
    "timestamp": "2024-01-15T10:30:00Z",
    "services": {"database": True, "cache": True, "smtp": True, "imap": True, "pop3": True},
}
ERROR = {
    "error": {
        "code": "INVALID_REQUEST",
        "message": "请求参数无效",
        "details": "字段 'email' 是必需的",
        "timestamp": "2024-01-15T10:30:00Z",
        "request_id": "req_123456789",
    }
}

EXAMPLES = [
    ("POST", "/api/v1/auth/keys", "request", KEY_REQUEST),
    ("POST", "/api/v1/auth/keys", "response", KEY_RESPONSE),
    ("GET", "/api/v1/server/info", "response", SERVER_INFO),
    ("POST", "/api/v1/users", "request", USER_REQUEST),
    ("POST", "/api/v1/users", "request", USER_SHORT),
    ("GET", "/api/v1/users", "response", USERS),
    ("PUT", "/api/v1/users/{user_id}", "request", USER_CHANGE),
    ("POST", "/api/v1/domains", "request", DOMAIN_REQUEST),
    ("GET", "/api/v1/queue/status", "response", QUEUE_STATUS),
    ("GET", "/api/v1/metrics/system", "response", METRICS_SYSTEM),
    ("GET", "/api/v1/metrics/application", "response", METRICS_APPLICATION),
    ("GET", "/metrics", "response", METRICS_TEXT),
    ("POST", "/api/v1/metrics/custom", "request", METRICS_CUSTOM),
    ("GET", "/api/v1/security/overview", "response", SECURITY_OVERVIEW),
    ("POST", "/api/v1/security/block-ip", "request", BLOCK_IP),
    ("GET", "/api/v1/security/audit-logs", "response", AUDIT_LOGS),
    ("PUT", "/api/v1/security/rate-limits", "request", RATE_LIMITS),
    ("GET", "/api/v1/performance/stats", "response", PERFORMANCE_STATS),
    ("GET", "/api/v1/performance/recommendations", "response", RECOMMENDATIONS),
    ("POST", "/api/v1/performance/optimize", "request", OPTIMIZE),
    ("GET", "/health", "response", HEALTH),
    ("GET", "/ready", "response", READY),
]

# All 32 operations, in the order of the reference, with the query parameters that it shows.
OPERATIONS = [
    ("POST", "/api/v1/auth/keys", ()),
    ("GET", "/api/v1/server/info", ()),
    ("POST", "/api/v1/server/restart", ()),
    ("POST", "/api/v1/server/reload", ()),
    ("POST", "/api/v1/users", ()),
    ("GET", "/api/v1/users", ("page", "limit", "search")),
    ("PUT", "/api/v1/users/{user_id}", ()),
    ("DELETE", "/api/v1/users/{user_id}", ()),
    ("POST", "/api/v1/domains", ()),
    ("GET", "/api/v1/domains", ()),
    ("GET", "/api/v1/queue/status", ()),
    ("DELETE", "/api/v1/queue/{queue_name}", ()),
    ("POST", "/api/v1/queue/retry", ()),
    ("GET", "/api/v1/metrics/system", ()),
    ("GET", "/api/v1/metrics/application", ()),
    ("GET", "/metrics", ()),
    ("POST", "/api/v1/metrics/custom", ()),
    ("GET", "/api/v1/metrics/custom/{metric_name}", ()),
    ("GET", "/api/v1/security/overview", ()),
    ("GET", "/api/v1/security/blocked-ips", ()),
    ("POST", "/api/v1/security/block-ip", ()),
    ("DELETE", "/api/v1/security/blocked-ips/{ip_address}", ()),
    ("GET", "/api/v1/security/audit-logs", ("start_date", "end_date", "event_type", "limit")),
    ("GET", "/api/v1/security/rate-limits", ()),
    ("PUT", "/api/v1/security/rate-limits", ()),
    ("GET", "/api/v1/performance/stats", ()),
    ("GET", "/api/v1/performance/recommendations", ()),
    ("POST", "/api/v1/performance/optimize", ()),
    ("GET", "/health", ()),
    ("GET", "/api/v1/health/detailed", ()),
    ("POST", "/api/v1/health/check/{component}", ()),
    ("GET", "/ready", ()),
]
