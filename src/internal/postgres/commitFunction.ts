/**
 * The functions on the server that commit and that trim the log, as text.
 *
 * A commit is one call, and so one transaction. It locks the row of the store, so commits run one after the other. A `VOLATILE`
 * function takes a new snapshot for each of its statements under READ COMMITTED, so what it reads after the lock
 * is what the previous commit left.
 *
 * A call has several units. Each unit has conditions and writes. The writes of a unit are made only if all of its
 * conditions hold. No unit may write what another unit reads or writes: the caller makes sure of that.
 *
 * Each call has a token, which rises from call to call of a process. A call with the recorded token returns the recorded
 * outcome and does nothing. So a process whose connection was lost before the answer can make the same call again.
 *
 * The conditions are those of `Read` in `Backend.ts`. `v_want` is empty if the key must have no value, `0x31` if it must have
 * any, `=` and the bytes of a value of at most 64 bytes, or `#` and the SHA-256 of a longer one.
 */
import { staleToken } from "./sqlFailure.ts"
import type { Tables } from "./tables.ts"

/** The bits of `r_flags`. */
export const rangeFlags = { hasFrom: 1, includesFrom: 2, hasTo: 4, includesTo: 8, values: 16 } as const

/** The kinds of writes in `w_kind`. The bit `unlogged` is added if the log leaves out the database. */
export const writeKinds = { clear: 0, put: 1, delete: 2, expire: 3, unlogged: 4 } as const

/** The four bytes of a number in little-endian order. */
const uint32 = (number: string): string =>
  `set_byte(set_byte(set_byte(set_byte('\\x00000000'::bytea, 0, ${number} & 255), 1, (${number} >> 8) & 255), ` +
  `2, (${number} >> 16) & 255), 3, (${number} >> 24) & 255)`

/** The nine bytes that say when a record expires, if it does: `recordLayout.ts` and `expiringValue.ts` have the layout. */
const expiryOf = (value: string): string =>
  `CASE WHEN length(${value}) > 5 AND get_byte(${value}, 0) = 4 THEN substring(${value} from least(6 + ` +
  `get_byte(${value}, 1) + get_byte(${value}, 2) * 256 + get_byte(${value}, 3) * 65536 + ` +
  `get_byte(${value}, 4)::bigint * 16777216, 2000000000)::int for 9) ELSE substring(${value} from 1 for 9) END`

/** The digest of some records, all columns of which are in `t`. `Backend.ts` defines it. */
export const digestOf = (hasValues: string): string =>
  `sha256(coalesce(string_agg(${uint32("length(t.key)")} ||
        CASE WHEN ${hasValues} THEN ${uint32("length(t.value)")} || t.key || t.value
        ELSE '\\x00000000'::bytea || t.key END, ''::bytea ORDER BY t.key), ''::bytea))`

const readDigest = (records: string, condition: string): string => `
    SELECT ${digestOf("r_flags[i] & 16 <> 0")}
      INTO digest FROM ${records} t
      WHERE t.db = r_db[i] AND t.key >= r_from[i] AND (r_flags[i] & 2 <> 0 OR t.key > r_from[i]) ${condition};`

const commitBody = ({ channel, clients, log, records, store }: Tables): string => `
DECLARE
  last_number bigint;
  known record;
  failed int[] := '{}';
  digest bytea;
  written boolean;
  server_now bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
  IF p_async THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  SELECT s.number INTO STRICT last_number FROM ${store} s WHERE s.id = 1 FOR UPDATE;
  IF p_token > 0 THEN
    SELECT c.token, c.number, c.failed INTO known FROM ${clients} c WHERE c.id = p_client;
    IF FOUND AND known.token > p_token THEN
      RAISE EXCEPTION 'a later commit of this process is recorded' USING ERRCODE = '${staleToken}';
    ELSIF FOUND AND known.token = p_token THEN
      o_number := known.number; o_failed := known.failed::text;
      RETURN NEXT;
      IF p_before > 0 THEN
        RETURN QUERY SELECT l.number::float8, NULL::text, l.n, l.had, CASE WHEN p_before = 2 THEN l.old END
          FROM ${log} l WHERE l.number = known.number AND l.kind > 0;
      END IF;
      RETURN;
    END IF;
  END IF;

  IF cardinality(v_unit) > 0 THEN
    SELECT coalesce(array_agg(DISTINCT r.unit), '{}') INTO failed
      FROM unnest(v_unit, v_db, v_key, v_want) r(unit, db, key, want)
      LEFT JOIN ${records} t ON t.db = r.db AND t.key = r.key
      WHERE CASE WHEN length(r.want) = 0 THEN t.key IS NOT NULL
        WHEN t.key IS NULL THEN true
        WHEN r.want = '\\x31'::bytea THEN false
        WHEN length(t.value) <= 64 THEN r.want <> '\\x3d'::bytea || t.value
        ELSE r.want <> '\\x23'::bytea || sha256(t.value) END;
  END IF;
  FOR i IN 1 .. cardinality(c_unit) LOOP
    CONTINUE WHEN c_unit[i] = ANY (failed);
    IF (SELECT count(*) FROM ${records} t WHERE t.db = c_db[i]) <> c_count[i] THEN failed := failed || c_unit[i]; END IF;
  END LOOP;
  FOR i IN 1 .. cardinality(r_unit) LOOP
    CONTINUE WHEN r_unit[i] = ANY (failed);
    IF r_flags[i] & 4 = 0 THEN ${readDigest(records, "")}
    ELSE ${readDigest(records, "AND t.key <= r_to[i] AND (r_flags[i] & 8 <> 0 OR t.key < r_to[i])")}
    END IF;
    IF digest <> r_digest[i] THEN failed := failed || r_unit[i]; END IF;
  END LOOP;

  written := EXISTS (SELECT 1 FROM unnest(w_unit) u WHERE u <> ALL (failed)) OR
    EXISTS (SELECT 1 FROM unnest(x_unit) u WHERE u <> ALL (failed));
  IF written THEN
    last_number := last_number + 1;
    INSERT INTO ${log} (number, n, db, kind, key, had, has_old, at)
      SELECT last_number, x.n, x.db, 0, ''::bytea, true, true, server_now
      FROM unnest(x_unit, x_n, x_db, x_kind) x(unit, n, db, kind)
      WHERE x.unit <> ALL (failed) AND x.kind & 4 = 0;
    INSERT INTO ${log} (number, n, db, kind, key, value, had, old, has_old, at)
      SELECT last_number, w.n, w.db, w.kind, w.key, CASE WHEN w.kind = 1 THEN w.value END, w.had,
        CASE WHEN w.had AND (p_previous OR p_before = 2) THEN w.old END, p_previous OR p_before = 2 OR NOT w.had, server_now
      FROM (
        SELECT w.*, t.value AS old, t.key IS NOT NULL AND cleared.db IS NULL AND NOT coalesce(
          w.kind <> 3 AND get_byte(${expiryOf("t.value")} || '\\x00'::bytea, 0) = 6 AND
          ${expiryOf("t.value")} <= '\\x06'::bytea || int8send(p_now), false) AS had
        FROM unnest(w_unit, w_n, w_db, w_kind, w_key, w_value) w(unit, n, db, kind, key, value)
        LEFT JOIN ${records} t ON t.db = w.db AND t.key = w.key
        LEFT JOIN (SELECT DISTINCT x.db FROM unnest(x_unit, x_db) x(unit, db) WHERE x.unit <> ALL (failed)) cleared
          ON cleared.db = w.db
        WHERE w.unit <> ALL (failed) AND w.kind & 4 = 0
      ) w;
    IF cardinality(x_unit) > 0 THEN
      DELETE FROM ${records} t USING unnest(x_unit, x_db) x(unit, db) WHERE x.unit <> ALL (failed) AND t.db = x.db;
    END IF;
    INSERT INTO ${records} AS t (db, key, value)
      SELECT w.db, w.key, w.value FROM unnest(w_unit, w_db, w_kind, w_key, w_value) w(unit, db, kind, key, value)
      WHERE w.unit <> ALL (failed) AND w.kind & 3 = 1
      ON CONFLICT (db, key) DO UPDATE SET value = EXCLUDED.value;
    DELETE FROM ${records} t USING unnest(w_unit, w_db, w_kind, w_key) w(unit, db, kind, key)
      WHERE w.unit <> ALL (failed) AND w.kind & 3 > 1 AND t.db = w.db AND t.key = w.key;
    UPDATE ${store} s SET number = last_number WHERE s.id = 1;
    IF p_notify THEN PERFORM pg_notify('${channel}', last_number::text); END IF;
  END IF;
  IF p_token > 0 THEN
    INSERT INTO ${clients} AS c (id, token, number, failed, at)
      VALUES (p_client, p_token, CASE WHEN written THEN last_number ELSE 0 END, failed, now())
      ON CONFLICT (id) DO UPDATE
      SET token = EXCLUDED.token, number = EXCLUDED.number, failed = EXCLUDED.failed, at = EXCLUDED.at;
  END IF;
  o_number := CASE WHEN written THEN last_number ELSE 0 END; o_failed := failed::text;
  RETURN NEXT;
  IF written AND p_before > 0 THEN
    RETURN QUERY SELECT l.number::float8, NULL::text, l.n, l.had, CASE WHEN p_before = 2 THEN l.old END
      FROM ${log} l WHERE l.number = last_number AND l.kind > 0;
  END IF;
END`

/** Joins on lists of keys must use the index, also while the planner knows nothing of a new table. */
const byIndex = "SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off"

/** Creates the function that commits. */
export const commitCreation = (tables: Tables): string => `
CREATE OR REPLACE FUNCTION ${tables.commit} (
  p_client text, p_token bigint, p_async boolean, p_notify boolean, p_previous boolean, p_before int, p_now bigint,
  v_unit int[], v_db int[], v_key bytea[], v_want bytea[],
  c_unit int[], c_db int[], c_count bigint[],
  r_unit int[], r_db int[], r_flags int[], r_from bytea[], r_to bytea[], r_digest bytea[],
  x_unit int[], x_n int[], x_db int[], x_kind int[],
  w_unit int[], w_n int[], w_db int[], w_kind int[], w_key bytea[], w_value bytea[])
RETURNS TABLE (o_number float8, o_failed text, o_n int, o_had boolean, o_old bytea)
LANGUAGE plpgsql VOLATILE ${byIndex} AS $kv$${commitBody(tables)}$kv$`

/**
 * Creates the function that deletes old transactions from the log: those of a greater age in milliseconds, those beyond a number of commits and
 * those beyond a number of bytes. It deletes at most 1000 transactions, and returns whether there are more.
 */
export const trimCreation = ({ log, store, trim }: Tables): string => `
CREATE OR REPLACE FUNCTION ${trim} (p_age bigint, p_commits bigint, p_bytes bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $kv$
DECLARE
  state record;
  beyond bigint;
  cut bigint;
  oldest bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint - p_age;
BEGIN
  SELECT s.number, s.log_start INTO STRICT state FROM ${store} s WHERE s.id = 1 FOR UPDATE;
  beyond := greatest(
    state.log_start,
    CASE WHEN p_commits IS NOT NULL THEN state.number - p_commits END,
    CASE WHEN p_age IS NOT NULL THEN (SELECT max(l.number) FROM ${log} l WHERE l.number < coalesce(
      (SELECT f.number FROM ${log} f WHERE f.at >= oldest ORDER BY f.number, f.n LIMIT 1), state.number + 1)) END,
    CASE WHEN p_bytes IS NOT NULL THEN (SELECT max(q.number) FROM (
      SELECT l.number, sum(length(l.key) + coalesce(length(l.value), 0) + coalesce(length(l.old), 0) + 50)
        OVER (ORDER BY l.number DESC, l.n DESC) AS size FROM ${log} l) q WHERE q.size > p_bytes) END);
  cut := least(beyond, state.log_start + 1000);
  IF cut > state.log_start THEN
    DELETE FROM ${log} l WHERE l.number <= cut;
    UPDATE ${store} s SET log_start = cut WHERE s.id = 1;
  END IF;
  RETURN beyond > cut;
END$kv$`
