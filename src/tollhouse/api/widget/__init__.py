"""The widget's host: `door` answers its addresses, `form_calls` the form's own calls, `tokenizer` a card's.

`assets` holds what the widget's build wrote, `page` draws the pages around it, `policy` says what browsers may do
there. A payment's progress is streamed by `stream`, which `watch` wakes at each change.
"""
