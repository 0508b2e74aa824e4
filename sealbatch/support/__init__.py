"""`sealbatch support-bundle`: what somebody needs who helps, and nothing that anybody must not see.

Each part takes what it knows to be harmless and leaves out the rest; after that, secrets that are known on this
machine are looked for in everything, and taken out.
"""
