// node-postgres through the gateway: a pool, named statements, a refusal that leaves the session whole.
const { Pool } = require("pg");

async function main() {
  const pool = new Pool({ max: 3 });
  const counted = await pool.query("SELECT count(*) FROM orders WHERE id > $1", [2990]);
  await Promise.all(
    Array.from({ length: 12 }, async (_, n) => {
      const found = await pool.query({ name: "by_id", text: "SELECT id FROM orders WHERE id = $1", values: [1042 + n] });
      if (found.rows[0].id !== 1042 + n) throw new Error(`${found.rows[0].id} is not ${1042 + n}`);
    }),
  );
  await pool.query("INSERT INTO refunds (order_id, amount) VALUES ($1, $2)", [1042, "6.00"]);
  const client = await pool.connect();
  for (const [statement, values, reason] of [
    ["INSERT INTO refunds (order_id, amount) VALUES ($1, $2)", [1042, "500.00"], "argument_out_of_bounds"],
    ["SELECT name FROM customers", [], "resource_not_in_profile"],
  ]) {
    const refused = await client.query(statement, values).then(
      () => undefined,
      (fault) => fault,
    );
    if (refused?.code !== "42501" || !refused.message.includes(reason)) throw new Error(`not refused: ${refused}`);
  }
  const one = await client.query("SELECT 1 AS one");
  client.release();
  await pool.end();
  console.log("node", counted.rows[0].count, one.rows[0].one);
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
