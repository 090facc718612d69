"""The Django project: settings, urls, and the floor that every app stands on."""
