"""The API reference's examples of this app's operations, as printed there, and ours where it has none."""

from typing import Any

SERVER_INFO: dict[str, Any] = {
    "version": "0.13.1",
    "build_date": "2024-01-15T10:00:00Z",
    "uptime": 86400,
    "hostname": "mail.example.com",
    "features": ["smtp", "imap", "pop3", "monitoring", "security"],
    "status": "running",
}
RESTART = {"status": "restarting", "request_id": "req_123456789"}
RELOAD = {
    "status": "reloaded",
    "changes": [{"name": "message_limit", "before": 52428800, "after": 104857600}],
    "warnings": ["smtp is to listen on [::]:2526; that takes effect with a restart."],
}
HEALTH: dict[str, Any] = {
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
        "cache": {"status": "healthy", "response_time": 2, "details": {"hit_rate": "85%", "memory_usage": "512MB"}},
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
DETAILED = {
    **HEALTH,
    "checks": {
        **HEALTH["checks"],
        "smtp": {"status": "healthy", "response_time": 4, "details": {"smtp": "1ms", "submission": "1ms"}},
        "tls": {"status": "healthy", "response_time": 1, "details": {"days_left": "61"}},
    },
}
CHECKED = {
    "component": "dns",
    "status": "healthy",
    "response_time": 12,
    "details": {"192.0.2.53:53": "12ms"},
    "timestamp": "2024-01-15T10:30:00Z",
}
READY = {
    "ready": True,
    "timestamp": "2024-01-15T10:30:00Z",
    "services": {"database": True, "cache": True, "smtp": True, "imap": True, "pop3": True},
}
PERFORMANCE = {
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
OPTIMIZED = {
    "applied": [
        {"type": "cache_size", "previous": 134217728, "value": 2147483648, "id": "optimization_1"},
        {"type": "connection_pool_size", "previous": 50, "value": 100, "id": "optimization_2"},
    ],
    "rejected": [],
}
OPTIMIZATION = {
    "id": "optimization_1",
    "type": "cache_size",
    "previous": 134217728,
    "value": 2147483648,
    "applied_at": "2024-01-15T10:30:00Z",
    "applied_by": "user_1",
    "reverted_at": None,
    "reverted_by": None,
}
REVERTED = {**OPTIMIZATION, "reverted_at": "2024-01-15T11:30:00Z", "reverted_by": "user_1"}
