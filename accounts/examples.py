"""The API reference's examples of users, for the OpenAPI document."""

from drf_spectacular.utils import OpenApiExample

_GIVEN = {
    "username": "john.doe",
    "email": "john.doe@example.com",
    "password": "secure_password_123",
    "quota": 1073741824,
    "enabled": True,
    "groups": ["users", "staff"],
}
_SHOWN = {
    "id": "user_123",
    "username": "john.doe",
    "email": "john.doe@example.com",
    "quota": 1073741824,
    "used_quota": 536870912,
    "undo_seconds": 0,
    "send_limit_hour": None,
    "send_limit_day": None,
    "enabled": True,
    "groups": ["staff", "users"],
    "created_at": "2024-01-01T00:00:00Z",
    "last_login": "2024-01-15T09:30:00Z",
}
_ROWS = [
    {"row": 1, "status": "created", "id": "user_124"},
    {
        "row": 2,
        "status": "failed",
        "error": {
            "code": "CONFLICT",
            "details": "Field 'email': The address john.doe@example.com is taken.",
            "fields": {},
        },
    },
]

NEW_USER = OpenApiExample("A user as it is given", value=_GIVEN, request_only=True)
# What curl and the SDKs of the reference send.
SHORT_USER = OpenApiExample(
    "Only what is needed",
    value={"username": "john.doe", "email": "john.doe@example.com", "password": "secure_password"},
    request_only=True,
)
USER_CHANGE = OpenApiExample(
    "A change",
    value={"quota": 2147483648, "enabled": True, "groups": ["users", "staff", "admin"]},
    request_only=True,
)
USER = OpenApiExample("A user", value=_SHOWN, response_only=True, status_codes=["200", "201"])
# As the reference prints it, which has no groups yet.
_LISTED = {name: value for name, value in _SHOWN.items() if name != "groups"}
USERS = OpenApiExample(
    "Users", value={"users": [_LISTED], "total": 1, "page": 1, "limit": 50}, response_only=True, status_codes=["200"]
)
NEW_USERS = OpenApiExample("A list of users", value={"users": [_GIVEN]}, request_only=True)
CSV = OpenApiExample(
    "A file",
    value="username,email,password,quota,enabled,groups\r\n"
    "john.doe,john.doe@example.com,secure_password_123,1073741824,true,users;staff\r\n",
    request_only=True,
    media_type="text/csv",
)
RESULTS = OpenApiExample(
    "One made, one not", value={"created": 1, "failed": 1, "results": _ROWS}, response_only=True, status_codes=["200"]
)
