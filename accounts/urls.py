"""API paths of this app, without a trailing slash as in the reference."""

from rest_framework.routers import SimpleRouter

from accounts.alias_viewsets import AliasViewSet
from accounts.group_viewsets import GroupViewSet
from accounts.key_viewsets import ApiKeyViewSet
from accounts.viewsets import UserViewSet

router = SimpleRouter(trailing_slash=False)
router.register("users", UserViewSet, "user")
router.register("auth/keys", ApiKeyViewSet, "api-key")
router.register("aliases", AliasViewSet, "alias")
router.register("groups", GroupViewSet, "group")
urlpatterns = router.urls
