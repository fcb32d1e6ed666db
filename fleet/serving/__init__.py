"""`hltmode fleet serve`: the fleet tool over HTTP, for run control, and a page that shows the farm.

forms        what is asked and answered, as types
orders       from what was asked to nodes and an order (pure)
board        the farm as it was seen last, and what has changed (pure)
progress     an operation in figures (pure)
events       numbered events and where each reader is in them (pure)
looking      asks every node how it stands, again and again
running      the operations: those run here, and those of others
service      all of it together, and the actions
guard        who may come in, and what all answers have in common
routes       the table of routes, and what each does
streaming    the events to one reader
description  the OpenAPI description, made from that table
page         the files of the page
server       the process: port, certificate, names, end
command      the command line
"""
