# Ten rules like those of bench/bundle: each names its action, its resources, and bounds its
# arguments by what the task declared. A deny stands above them, as Cedar's forbids do there.
package bench

default allow := false

allow if {
	not denied
	permitted
}

permitted if {
	input.action.name == "orders.read"
	input.resource.id in {"orders", "refunds"}
	startswith(input.action.properties.order_id, "O-")
}

permitted if {
	input.action.name == "orders.refund"
	input.resource.id == "refunds"
	input.action.properties.amount <= input.task.limit
}

permitted if {
	input.action.name == "orders.cancel"
	input.resource.id == "orders"
	startswith(input.action.properties.order_id, "O-")
}

permitted if {
	input.action.name == "stock.read"
	input.resource.id in {"stock", "prices"}
	input.action.properties.rows <= 1000
}

permitted if {
	input.action.name == "stock.reserve"
	input.resource.id == "stock"
	input.action.properties.pieces <= 100
}

permitted if {
	input.action.name == "mail.send"
	input.resource.id == "outbox"
	regex.match(`^[a-z0-9.]+@customers\.example$`, input.action.properties.to)
}

permitted if {
	input.action.name == "ledger.post"
	input.resource.id == "ledger"
	input.action.properties.amount <= input.task.limit
	input.action.properties.currency in {"EUR", "USD"}
}

permitted if {
	input.action.name == "ledger.read"
	input.resource.id == "ledger"
	input.action.properties.rows <= 1000
}

permitted if {
	input.action.name == "files.read"
	startswith(input.resource.id, "share/tickets/")
	count(input.action.properties.path) <= 200
}

permitted if {
	input.action.name == "files.write"
	startswith(input.resource.id, "share/tickets/")
	input.action.properties.bytes <= 1048576
}

denied if input.task.owner == "closed"

denied if input.action.properties.amount > 100000
