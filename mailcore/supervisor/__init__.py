"""The supervisor: opens the listening sockets, runs the processes that serve them, and replaces them unnoticed.

It never accepts a connection and knows neither Django nor the mail core, so that there is little in it that can fail.
"""
