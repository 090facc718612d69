"""The groups of the API reference's examples are there from the start. ``admin`` is no row: it is a flag."""

from django.db import migrations


def make_groups(apps, schema_editor):
    alias = schema_editor.connection.alias
    groups = apps.get_model("auth", "Group").objects.using(alias)
    births = apps.get_model("accounts", "GroupBirth").objects.using(alias)
    for name in ("users", "staff"):
        group, made = groups.get_or_create(name=name)
        if made:
            births.create(group=group)


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0003_group_birth"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
