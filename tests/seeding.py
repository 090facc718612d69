"""Many users in many domains, made in seconds: what lists and limits are measured against."""

from django.contrib.auth.hashers import make_password
from django.db import transaction

from a3mailer_site.models import Generation
from accounts.models import User
from domains.models import Domain

SLICE = 5000


def seed(users=100_000, domains=50, password="correct horse battery"):
    """Make so many of both, spread evenly; every user has the same password, hashed once."""
    homes = Domain.objects.bulk_create([Domain(name=f"d{n:02}.example", max_users=2 * users) for n in range(domains)])
    homes = list(Domain.objects.filter(pk__in=[home.pk for home in homes]).order_by("pk"))
    hashed = make_password(password)
    for start in range(0, users, SLICE):
        rows = [
            User(
                username=f"user{n:06}",
                email=f"first.last{n:06}@{homes[n % domains].name}",
                domain=homes[n % domains],
                password=hashed,
                quota=1024**3,
                used_quota=n,
            )
            for n in range(start, min(users, start + SLICE))
        ]
        User.objects.bulk_create(rows)
    with transaction.atomic():
        # bulk_create() does not say that users have changed.
        Generation.objects.bump(User.cached_under)
    return homes
