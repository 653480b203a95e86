# The same refund as in policy.rego, as Envoy asks: the request's body is the input. Ten like rules, as there;
# what is undefined is answered 404, which Envoy takes for a denial.
package bench_envoy.refund

default limit := 500

permit := true if {
	not denied
	permitted
}

permitted if startswith(input.order_id, "X-")

permitted if {
	startswith(input.order_id, "O-")
	input.amount <= limit
}

permitted if {
	input.currency in {"EUR", "USD"}
	input.amount <= limit
}

permitted if input.rows <= 1000

permitted if input.pieces <= 100

permitted if regex.match(`^[a-z0-9.]+@customers\.example$`, input.to)

permitted if count(input.path) <= 200

permitted if input.bytes <= 1048576

permitted if input.kind == "note"

permitted if input.kind == "draft"

denied if input.owner == "closed"

denied if input.amount > 100000
