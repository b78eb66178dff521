"""The messages of EMV 3-D Secure 2.2.0 and 2.3.1: tables of their fields, reading and writing by those tables.

Pure. The same tables check what comes in, build what goes out, feed the tests and are printed in the docs.
Names of fields are the wire's own here, since this is the wire.
"""
