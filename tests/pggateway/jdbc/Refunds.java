// JDBC through the gateway: prepared statements (binary after some runs), a cursor, a transaction, a refusal.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Properties;

public class Refunds {
    public static void main(String[] words) throws Exception {
        Properties given = new Properties();
        given.setProperty("user", System.getenv("PGUSER"));
        given.setProperty("password", System.getenv("SECRET"));
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/orders";
        try (Connection connection = DriverManager.getConnection(url, given)) {
            try (PreparedStatement read = connection.prepareStatement("SELECT id FROM orders WHERE id = ?")) {
                for (int id = 1042; id < 1054; id++) {
                    read.setInt(1, id);
                    ResultSet found = read.executeQuery();
                    if (!found.next() || found.getInt(1) != id) throw new Exception("not " + id);
                }
            }
            connection.setAutoCommit(false);
            try (PreparedStatement all = connection.prepareStatement("SELECT id FROM orders")) {
                all.setFetchSize(100);
                int rows = 0;
                for (ResultSet found = all.executeQuery(); found.next(); ) rows++;
                System.out.print("jdbc " + rows);
            }
            try (PreparedStatement put = connection.prepareStatement("INSERT INTO refunds (order_id, amount) VALUES (?, ?)")) {
                put.setInt(1, 1042);
                put.setBigDecimal(2, new BigDecimal("4.25"));
                put.executeUpdate();
                connection.commit();
                for (int run = 0; run < 8; run++) {
                    put.setInt(1, 1042);
                    put.setBigDecimal(2, new BigDecimal("500.00"));
                    try {
                        put.executeUpdate();
                        throw new Exception("not refused");
                    } catch (SQLException refused) {
                        if (!"42501".equals(refused.getSQLState())) throw refused;
                        if (!refused.getMessage().contains("argument_out_of_bounds")) throw refused;
                    }
                    connection.rollback();
                }
            }
            try (ResultSet one = connection.createStatement().executeQuery("SELECT 1")) {
                one.next();
                System.out.println(" " + one.getInt(1));
            }
        }
    }
}
