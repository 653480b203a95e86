# The same refund as in envoy.rego, as OPA's Envoy plugin is asked: the whole request is the input.
package bench_envoy_grpc

default limit := 500

default allow := false

allow if {
	input.attributes.request.http.method == "POST"
	input.parsed_path == ["refund", "permit"]
	not denied
	permitted
}

body := input.parsed_body

permitted if startswith(body.order_id, "X-")

permitted if {
	startswith(body.order_id, "O-")
	body.amount <= limit
}

permitted if {
	body.currency in {"EUR", "USD"}
	body.amount <= limit
}

permitted if body.rows <= 1000

permitted if body.pieces <= 100

permitted if regex.match(`^[a-z0-9.]+@customers\.example$`, body.to)

permitted if count(body.path) <= 200

permitted if body.bytes <= 1048576

permitted if body.kind == "note"

permitted if body.kind == "draft"

denied if body.owner == "closed"

denied if body.amount > 100000
