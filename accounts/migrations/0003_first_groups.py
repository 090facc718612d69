"""The groups of the API reference's examples are there from the start. ``admin`` is no row: it is a flag."""

from django.db import migrations


def make_groups(apps, schema_editor):
    groups = apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias)
    for name in ("users", "staff"):
        groups.get_or_create(name=name)


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_key_networks_and_domains"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
