"""Many users in one request, over HTTP: a JSON list, or a CSV file."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from a3mailer_site.api.middleware import BODY_LIMITS
from a3mailer_site.api.switches import DRY_RUN, is_dry_run
from accounts import examples
from accounts.bulk import MOST_ROWS, make_users, rehearse
from accounts.csv_rows import CsvParser
from accounts.models import User
from accounts.serializers import UserSerializer
from security.audit import record
from security.models import AuditEntry

_LIMITS = (
    f"At most {MOST_ROWS} rows and {BODY_LIMITS['/api/v1/users/import'] // 1024**2} MiB. Each row is made or refused "
    "by itself, and the answer is 200 even if none was made; the rows are numbered from 1."
)


class RowErrorSerializer(serializers.Serializer[Any]):
    """Why a row was refused; as in other errors."""

    code = serializers.CharField()
    details = serializers.CharField(allow_blank=True)
    fields = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))  # type: ignore[assignment]


class RowSerializer(serializers.Serializer[Any]):
    """What became of a row: an ``id`` when it was made, an ``error`` when not. A rehearsal makes no ids."""

    row = serializers.IntegerField(min_value=1)
    status = serializers.ChoiceField(["created", "failed"])
    id = serializers.CharField(required=False)
    error = RowErrorSerializer(required=False)


class OutcomeSerializer(serializers.Serializer[Any]):
    """What became of all rows."""

    created = serializers.IntegerField(min_value=0)
    failed = serializers.IntegerField(min_value=0)
    results = RowSerializer(many=True)


class UserListSerializer(serializers.Serializer[Any]):
    """Users to be made."""

    users = UserSerializer(many=True)


_ANSWERS = {200: OpenApiResponse(OutcomeSerializer, examples=[examples.RESULTS])}


class BulkUsersMixin:
    """The two operations of ``UserViewSet`` on many users."""

    # Hashing 1,000 passwords keeps two threads busy for half a minute.
    costly = {"bulk": (10, 60), "import_csv": (10, 60)}

    @extend_schema(
        summary="Make many users",
        description=_LIMITS,
        parameters=[DRY_RUN],
        request=UserListSerializer,
        responses=_ANSWERS,
        examples=[examples.NEW_USERS],
    )
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Make a user of each member of ``users``."""
        rows = request.data.get("users") if isinstance(request.data, dict) else None
        if not isinstance(rows, list):
            raise serializers.ValidationError({"users": _("This must be a list.")})
        return self._make(request, rows, "users_created")

    @extend_schema(
        summary="Import users from a CSV file",
        description=f"{_LIMITS} UTF-8; the first line names the fields; groups are separated by `;`.",
        parameters=[DRY_RUN],
        request={"text/csv": OpenApiTypes.STR},
        responses=_ANSWERS,
        examples=[examples.CSV],
    )
    @action(detail=False, methods=["post"], url_path="import", parser_classes=[CsvParser])
    def import_csv(self, request: Request) -> Response:
        """Make a user of each line of a CSV file."""
        return self._make(request, list(request.data), "users_imported")

    def _make(self, request: Request, rows: list[Any], verb: str) -> Response:
        if not 1 <= len(rows) <= MOST_ROWS:
            raise serializers.ValidationError({"users": _("There must be 1 to %(most)s rows.") % {"most": MOST_ROWS}})
        context = self.get_serializer_context()  # type: ignore[attr-defined]
        if is_dry_run(request):
            outcome = rehearse(rows, context)
        else:
            outcome = make_users(rows, context, self._save)
            numbers = {"created": outcome.created, "failed": outcome.failed}
            record(verb, AuditEntry.EventType.ADMINISTRATIVE, request=request, metadata=numbers)
        return Response({"created": outcome.created, "failed": outcome.failed, "results": outcome.results})

    def _save(self, serializer: UserSerializer) -> User:
        user: User = self.save_new(serializer)  # type: ignore[attr-defined]
        return user
