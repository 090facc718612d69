"""The API reference's examples of domains, for the OpenAPI document."""

from drf_spectacular.utils import OpenApiExample

_GIVEN = {"domain": "example.com", "enabled": True, "max_users": 1000, "max_quota": 107374182400}
_SHOWN = {
    "id": "domain_7",
    **_GIVEN,
    "user_count": 12,
    "used_quota": 536870912,
    "created_at": "2024-01-01T00:00:00Z",
}

NEW_DOMAIN = OpenApiExample("A domain as it is given", value=_GIVEN, request_only=True)
DOMAIN = OpenApiExample("A domain", value=_SHOWN, response_only=True, status_codes=["200", "201"])
DOMAINS = OpenApiExample(
    "Domains", value={"domains": [_SHOWN], "total": 1, "page": 1, "limit": 50}, response_only=True, status_codes=["200"]
)
