-- The server-side half of the ledger: what must be decided under locks, in one round trip.
-- A claim locks shard (SKIP LOCKED) and slot, and to cut new shards first the job; a finish locks shard, slot, owner, job.
-- A claim never waits for a shard, so the two do not meet crosswise; whatever remains PostgreSQL breaks, and both are
-- tried again. Two advisory locks a job: -2n, shared by claims and alone by what ends the job; -2n - 1 for who cuts.
-- Time is clock_timestamp(), read after the locks are held.

-- Those of another version may answer with other columns, which CREATE OR REPLACE cannot change.
DO $$
DECLARE old regprocedure;
BEGIN
    FOR old IN SELECT oid FROM pg_proc WHERE proname LIKE 'vyaz\_' || chr(37) AND pronamespace = current_schema()::regnamespace
    LOOP EXECUTE 'DROP FUNCTION ' || old || ' CASCADE'; END LOOP;
END $$;

-- Can this slot do this job's work, now or later? A slot of a version that did not say what it can is taken at its
-- engine alone.
CREATE OR REPLACE FUNCTION vyaz_fits(j job, slot worker) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT slot.queue = ANY (j.queues)
       AND (slot.kinds IS NULL OR j.kind = ANY (slot.kinds))
       AND coalesce((j.needs ->> 'engine')::integer, slot.engine) = slot.engine
       AND (slot.families IS NULL OR j.needs ->> 'family' IS NULL OR j.needs ->> 'family' = ANY (slot.families))
       AND coalesce((j.needs ->> 'memory')::bigint, 0) <= coalesce(slot.memory, 0)
$$;

-- May this slot claim something of this job now? Cheap for the common case: a job with unclaimed items left.
CREATE OR REPLACE FUNCTION vyaz_claimable(j job, slot worker) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state IN ('queued', 'running')
       AND vyaz_fits(j, slot)
       AND (j.after_id IS NULL OR EXISTS (SELECT FROM job earlier WHERE earlier.id = j.after_id AND earlier.state = 'done'))
       AND (j.in_flight_limit IS NULL OR j.in_flight_limit > (
               SELECT count(*) FROM shard s WHERE s.job_number = j.number AND s.state = 'leased'))
       AND (j.next_index < j.total
            OR EXISTS (SELECT FROM shard s WHERE s.job_number = j.number
                          AND s.state = 'returned' AND s.not_before <= clock_timestamp())
            OR j.closing = 'due' AND NOT EXISTS (
                   SELECT FROM shard s WHERE s.job_number = j.number AND s.state IN ('leased', 'returned')))
$$;

-- Device-seconds that slots of this queue are spending now, by job: what their shards are thought to take.
CREATE OR REPLACE FUNCTION vyaz_spending(on_queue text)
RETURNS TABLE (number bigint, owner_id uuid, seconds double precision) LANGUAGE sql STABLE AS $$
    SELECT j.number, j.owner_id, sum(s.estimate)
      FROM shard s JOIN worker w ON w.id = s.slot_id AND w.queue = on_queue JOIN job j ON j.number = s.job_number
     WHERE s.state = 'leased' GROUP BY j.number, j.owner_id
$$;

-- Of each class the job whose turn it is, its owner's virtual time, and how many are claimable in all. The owner with
-- the least virtual time comes first, then the owner's job with the least: what was spent, and what is being spent. A
-- model that is warm in this slot counts for `warmth` seconds, half a shard: so it may win, but gets no more than one
-- shard ahead of another.
CREATE OR REPLACE FUNCTION vyaz_turns(slot worker, passed bigint[], warmth double precision)
RETURNS TABLE (class smallint, number bigint, owner_time double precision, claimable bigint)
-- Tables that grew since they were last looked at seem empty to the planner: a loop would ask for each job in turn.
LANGUAGE sql STABLE SET enable_nestloop = off AS $$
    WITH own AS MATERIALIZED (SELECT queue.number AS q FROM queue WHERE queue.name = slot.queue),
         spending AS MATERIALIZED (SELECT * FROM vyaz_spending(slot.queue)),
         spenders AS MATERIALIZED (SELECT owner_id, sum(seconds) AS seconds FROM spending GROUP BY owner_id)
    SELECT DISTINCT ON (c.priority) c.priority, c.number, c.owner_time, count(*) OVER ()
      FROM (SELECT j.priority, j.number, o.id AS owner, t.owner_time,
                   t.owner_time - max(warm) OVER (PARTITION BY j.priority, o.id) / o.weight AS owner_rank,
                   j.virtual_time[(SELECT q FROM own)] + coalesce(mine.seconds, 0) - warm AS job_rank
              FROM job j
              JOIN owner o ON o.id = j.owner_id
              LEFT JOIN spending mine ON mine.number = j.number
              LEFT JOIN spenders theirs ON theirs.owner_id = o.id,
                   LATERAL (SELECT CASE WHEN j.model_version_id = ANY (slot.warm) THEN warmth ELSE 0 END) w(warm),
                   LATERAL (SELECT o.virtual_time[(SELECT q FROM own)] + coalesce(theirs.seconds, 0) / o.weight)
                       t(owner_time)
             WHERE j.state IN ('queued', 'running') AND j.number <> ALL (passed) AND vyaz_fits(j, slot)
                   -- What needs no look at other rows is told here: a call costs fifty times as much.
               AND (j.next_index < j.total AND j.after_id IS NULL AND j.in_flight_limit IS NULL
                    OR vyaz_claimable(j, slot))) c
     ORDER BY c.priority, c.owner_rank, c.owner, c.job_rank, c.number
$$;

-- Could this slot claim anything, of any job but these?
CREATE OR REPLACE FUNCTION vyaz_waits(slot worker, passed bigint[]) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM job j WHERE j.state IN ('queued', 'running') AND j.number <> ALL (passed)
                      AND vyaz_fits(j, slot) AND vyaz_claimable(j, slot))
$$;

-- What a slot owes each class after work of one: a twentieth of its time to every class that has claimable work. So no
-- class starves, be there ever so much work before it. A class without work is owed nothing; nobody saves up.
CREATE OR REPLACE FUNCTION vyaz_owed(
    owed double precision[], waiting smallint[], chosen smallint, seconds double precision, aim double precision)
RETURNS double precision[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(CASE WHEN class = ANY (waiting)
        THEN least(2 * aim, greatest(-2 * aim, owed[class + 1] + 0.05 * seconds
                                                 - CASE WHEN class = chosen THEN seconds ELSE 0 END))
        ELSE 0 END ORDER BY class)
      FROM generate_series(0, 2) class
$$;

-- How many items the next new shard gets: one block until the rate is known, then `aim` seconds of work, never more
-- than 1 / (2n - 1) of what remains with n live slots, always whole blocks. So the last shards of a job that many work
-- on are small and end together, and a lone slot is not stopped again and again for nobody's sake.
CREATE OR REPLACE FUNCTION vyaz_shard_size(j job, slot worker, block bigint, aim double precision)
RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN j.shard_size IS NOT NULL THEN j.shard_size
        WHEN j.seconds_per_item ->> slot.device_class IS NULL THEN block
        ELSE block * greatest(1, least(
            floor(aim / greatest((j.seconds_per_item ->> slot.device_class)::float8, 1e-9) / block),
            ceil((j.total - j.next_index) / (1.0 * block * (
                SELECT greatest(2 * count(*) - 1, 1) FROM worker w
                 WHERE w.queue = slot.queue AND w.state <> 'gone' AND w.heartbeat_at > clock_timestamp() - interval '15 s')))
            ))::bigint
    END
$$;

-- How many shards are cut at once: one for every fourth slot that could take them. So most claims of a large fleet find
-- one that is there, and do not wait for one another's commit.
CREATE OR REPLACE FUNCTION vyaz_cuts(slot worker) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT greatest(1, least(16, count(*) / 4))::integer FROM worker w
     WHERE w.queue = slot.queue AND w.device_class = slot.device_class
       AND w.state <> 'gone' AND w.heartbeat_at > clock_timestamp() - interval '15 s'
$$;

-- Take one shard for a slot. No row: nothing is claimable. `more`: something still is, so ring again.
CREATE OR REPLACE FUNCTION vyaz_claim(slot_id uuid, lease interval, block bigint, aim double precision)
RETURNS TABLE (shard_id bigint, start bigint, stop bigint, epoch integer, attempts integer, closing boolean,
               job_id uuid, job_number bigint, owner_id uuid, kind text, spec jsonb, seed bigint, total bigint,
               after_id uuid, model_version_id uuid, more boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    slot worker; j job; s shard;
    turns bigint[]; classes smallint[]; times double precision[]; claimable bigint; passed bigint[] := '{}';
BEGIN
    SELECT w.* INTO slot FROM worker w WHERE w.id = slot_id AND w.state <> 'gone';
    IF NOT FOUND OR slot.state = 'draining' THEN RETURN; END IF;
    LOOP
        -- A class to which a tenth of a shard is owed comes first, else the classes in their order.
        SELECT array_agg(t.number ORDER BY slot.owed[t.class + 1] < aim / 10, t.class),
               array_agg(t.class ORDER BY slot.owed[t.class + 1] < aim / 10, t.class),
               array_agg(t.owner_time ORDER BY slot.owed[t.class + 1] < aim / 10, t.class), max(t.claimable)
          INTO turns, classes, times, claimable FROM vyaz_turns(slot, passed, aim / 2) t;
        IF turns IS NULL THEN RETURN; END IF;
        s := vyaz_lease(turns[1], slot, lease, block, aim);
        EXIT WHEN s.id IS NOT NULL;
        -- Other slots were quicker on this job; another one may have work.
        passed := passed || turns[1];
    END LOOP;

    SELECT * INTO j FROM job WHERE job.number = turns[1];
    INSERT INTO event (job_number, shard_id, epoch, what, actor)
    VALUES (j.number, s.id, s.epoch, 'leased', slot_id::text);
    -- Whoever claims the next has worked through the one before, and only stores it.
    UPDATE shard SET mark = stop WHERE id IN (
        SELECT id FROM shard WHERE shard.slot_id = slot.id AND state = 'leased' AND mark < stop AND id <> s.id
           FOR UPDATE SKIP LOCKED);
    UPDATE worker SET state = 'busy', shard_id = s.id, served = times[1], served_at = clock_timestamp(),
                      heartbeat_at = clock_timestamp(), owed = vyaz_owed(owed, classes, j.priority, s.estimate, aim),
                      warm = CASE WHEN j.model_version_id IS NULL THEN warm ELSE ARRAY[j.model_version_id] END
     WHERE id = slot.id AND state NOT IN ('gone', 'draining');
    -- Marked gone or draining since we looked: a shard held by it would have to be taken back at once.
    IF NOT FOUND THEN RAISE EXCEPTION USING MESSAGE = 'this slot may not claim any more', ERRCODE = 'object_in_use'; END IF;
    RETURN QUERY SELECT s.id, s.start, s.stop, s.epoch, s.attempts, s.closing,
                        j.id, j.number, j.owner_id, j.kind, j.spec, j.seed, j.total, j.after_id, j.model_version_id,
                        claimable > 1 OR vyaz_claimable(j, slot);
END $$;

-- Lease a shard of this job: one that is there, which many slots do side by side, or else a new one, one slot at a time.
CREATE OR REPLACE FUNCTION vyaz_lease(number bigint, slot worker, lease interval, block bigint, aim double precision)
RETURNS shard LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s shard; j job; guess double precision := 1; rate double precision;
BEGIN
    LOOP
        s := vyaz_found(number, slot);
        EXIT WHEN s.id IS NOT NULL;
        BEGIN
            PERFORM pg_advisory_xact_lock(-2 * vyaz_lease.number - 1);
            -- Whoever had the lock before may have cut for all: leave it to the next and look again.
            IF (vyaz_found(number, slot)).id IS NOT NULL THEN RAISE SQLSTATE 'VYAZ1'; END IF;
            s := vyaz_cut(number, slot, block, aim);
            IF s.id IS NULL THEN RAISE SQLSTATE 'VYAZ0'; END IF;
            EXIT;
        -- Either way the locks of this attempt are let go, before others are taken.
        EXCEPTION
            WHEN SQLSTATE 'VYAZ1' THEN NULL;
            WHEN SQLSTATE 'VYAZ0' THEN RETURN NULL;
        END;
    END LOOP;
    SELECT * INTO j FROM job WHERE job.number = s.job_number;
    rate := coalesce((j.seconds_per_item ->> slot.device_class)::float8, 0);
    IF rate > 0 THEN guess := least(rate * (s.stop - s.start), 60); END IF;
    UPDATE shard SET state = 'leased', epoch = shard.epoch + 1, attempts = shard.attempts + 1, slot_id = slot.id,
                     mark = shard.start, device_class = slot.device_class, lease_until = clock_timestamp() + lease,
                     estimate = guess
     WHERE id = s.id RETURNING * INTO s;
    RETURN s;
END $$;

-- A shard that waits for a slot, now locked, if another claim did not lock it first. What was cut for slots of another
-- speed is left to them while there is something to cut.
CREATE OR REPLACE FUNCTION vyaz_returned(j job, slot worker) RETURNS shard LANGUAGE sql AS $$
    SELECT s FROM shard s
     WHERE s.job_number = j.number AND s.state = 'returned' AND s.not_before <= clock_timestamp()
       AND (s.epoch > 0 OR s.device_class = slot.device_class OR s.device_class IS NULL OR j.next_index = j.total)
     ORDER BY s.start LIMIT 1 FOR UPDATE SKIP LOCKED
$$;

-- The same without the job's row, which every finish locks. Jobs of which only so many shards may be in hand are served
-- by `vyaz_cut` alone.
CREATE OR REPLACE FUNCTION vyaz_found(number bigint, slot worker) RETURNS shard LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    j job;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(-2 * vyaz_found.number);
    SELECT * INTO j FROM job WHERE job.number = vyaz_found.number;
    IF j.state <> 'running' OR j.in_flight_limit IS NOT NULL OR NOT vyaz_claimable(j, slot) THEN RETURN NULL; END IF;
    RETURN vyaz_returned(j, slot);
END $$;

-- With the job locked: a shard that waits, else new ones, of which all but the first are left for others, else the
-- closing one. The answer is none of them if another slot was quicker.
CREATE OR REPLACE FUNCTION vyaz_cut(number bigint, slot worker, block bigint, aim double precision)
RETURNS shard LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s shard; j job; size bigint; upto bigint;
BEGIN
    SELECT * INTO j FROM job WHERE job.number = vyaz_cut.number FOR NO KEY UPDATE;
    IF j.number IS NULL OR NOT vyaz_claimable(j, slot) THEN RETURN NULL; END IF;
    IF j.started_at IS NULL THEN INSERT INTO event (job_number, what) VALUES (j.number, 'started'); END IF;
    UPDATE job SET state = 'running', started_at = coalesce(started_at, clock_timestamp()) WHERE job.number = j.number;
    s := vyaz_returned(j, slot);
    IF s.id IS NULL AND j.next_index < j.total THEN
        size := vyaz_shard_size(j, slot, block, aim);
        upto := j.next_index;
        FOR i IN 1 .. CASE WHEN j.in_flight_limit IS NULL THEN vyaz_cuts(slot) ELSE 1 END LOOP
            EXIT WHEN upto = j.total;
            INSERT INTO shard (job_number, start, stop, state, mark, device_class)
            VALUES (j.number, upto, least(upto + size, j.total), 'returned', upto, slot.device_class);
            upto := least(upto + size, j.total);
        END LOOP;
        UPDATE job SET next_index = upto WHERE job.number = j.number;
        SELECT * INTO s FROM shard WHERE job_number = j.number AND start = j.next_index AND state = 'returned' AND epoch = 0;
    ELSIF s.id IS NULL AND j.closing = 'due' AND NOT EXISTS (
            SELECT FROM shard WHERE shard.job_number = j.number AND state IN ('leased', 'returned')) THEN
        INSERT INTO shard (job_number, start, stop, state, mark, closing)
        VALUES (j.number, j.total, j.total, 'returned', j.total, true) RETURNING * INTO s;
        UPDATE job SET closing = 'leased' WHERE job.number = j.number;
    END IF;
    RETURN s;
END $$;

-- Extend a lease and say what the holder is to do: go on, yield, pause, cancel or lost.
-- A lease that ran out but was not taken is extended too. `yield` only says that somebody else could use the slot.
CREATE OR REPLACE FUNCTION vyaz_beat(slot uuid, shard_no bigint, at_epoch integer, at_mark bigint, lease interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    holder worker; j job; held boolean;
BEGIN
    UPDATE shard SET lease_until = clock_timestamp() + lease, mark = greatest(mark, at_mark)
     WHERE id = shard_no AND epoch = at_epoch AND state = 'leased';
    held := FOUND;
    UPDATE worker SET heartbeat_at = clock_timestamp() WHERE id = slot RETURNING * INTO holder;
    IF NOT held THEN RETURN 'lost'; END IF;
    SELECT job.* INTO j FROM job JOIN shard ON shard.job_number = job.number WHERE shard.id = shard_no;
    RETURN CASE j.state
        WHEN 'cancelled' THEN 'cancel'
        WHEN 'failed' THEN 'cancel'
        WHEN 'paused' THEN 'pause'
        ELSE CASE WHEN vyaz_waits(holder, ARRAY[j.number]) THEN 'yield' ELSE 'go on' END
    END;
END $$;
