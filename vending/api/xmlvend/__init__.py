"""XMLVend 2.1 over HTTP: POST /xmlvend, one path for tills that spoke it before we came.

`endpoint` receives and answers, `callers` says who asks, `offers` is the table of what is offered,
`errands` carries what writes to the core. The rest are the handlers, over the same counter as /v1,
and what their answers have in common.
"""
