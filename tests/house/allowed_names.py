# ruff: noqa: B018, F821
"""Names that are used where vulture cannot see it; it reads this file beside the
package.

Nothing imports it: it is a list, written as code because vulture reads code.
"""

list_runs, list_batches  # commands: typer calls them
requested_model, cost_usd  # fields of a result line: msgspec writes them
has_tools, has_schema, has_images, has_documents  # conditions of a rule, by their names
PARTIAL  # a state that journals may hold: its number is taken
ephemeral_5m_input_tokens, ephemeral_1h_input_tokens  # the API's names: msgspec reads them
bell  # the argument of a protocol
__annotations__  # typer reads it
show_help  # a command: typer calls it
write_dl, context_class  # click calls and reads them
closed  # of a file: pyarrow reads it
__class__  # the SDK's client becomes ours
_worker_logs_enabled  # a switch of Ray's, which it reads itself
