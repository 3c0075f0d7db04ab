"""The shapes of what goes in and out of the API: each reads or writes, and is its own description (OpenAPI schema).

They need neither Flask nor the rest of the room: the command line shows the same shapes. Answers may gain fields.
"""
