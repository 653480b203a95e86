// pgx through the gateway: described statements, binary parameters, a batch, a refusal that leaves the session whole.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	// PGHOST and its like, and PGPASSFILE.
	conn, err := pgx.Connect(ctx, "")
	must(err)
	defer conn.Close(ctx)
	var count int
	must(conn.QueryRow(ctx, "SELECT count(*) FROM orders WHERE id > $1", 2990).Scan(&count))
	batch := &pgx.Batch{}
	for id := 1042; id < 1046; id++ {
		batch.Queue("SELECT id FROM orders WHERE id = $1", id)
	}
	results := conn.SendBatch(ctx, batch)
	for id := 1042; id < 1046; id++ {
		var found int
		must(results.QueryRow().Scan(&found))
		if found != id {
			must(fmt.Errorf("%d is not %d", found, id))
		}
	}
	must(results.Close())
	_, err = conn.Exec(ctx, "INSERT INTO refunds (order_id, amount) VALUES ($1, $2)", 1042, "3.50")
	must(err)
	var refused *pgconn.PgError
	for _, amount := range []string{"500.00"} {
		_, err = conn.Exec(ctx, "INSERT INTO refunds (order_id, amount) VALUES ($1, $2)", 1042, amount)
		if !errors.As(err, &refused) || refused.Code != "42501" || !strings.Contains(refused.Message, "argument_out_of_bounds") {
			must(fmt.Errorf("not refused: %v", err))
		}
	}
	var one int
	must(conn.QueryRow(ctx, "SELECT 1").Scan(&one))
	fmt.Println("pgx", count, one)
}
