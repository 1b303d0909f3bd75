"""Output for people: progress, summaries, tables, errors. Listens to events and plain
reports; the only room with rich.

Nothing here decides anything about a run. Everything that is printed passes
`sanitise.visible`.
"""
