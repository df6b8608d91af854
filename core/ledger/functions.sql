-- The server-side half of the ledger: what must be decided under locks, in one round trip.
-- A claim locks owner, job, shard (SKIP LOCKED), slot; a finish locks shard, owner, job, slot. A claim never waits for a
-- shard, so the two do not meet crosswise; whatever remains PostgreSQL breaks, and both are tried again.
-- Time is clock_timestamp(), read after the locks are held.

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

-- Of each class the job whose turn it is, and how many are claimable in all. The owner with the least virtual time
-- comes first, then the owner's job with the least. A model that is warm in this slot counts for `warmth` seconds, half
-- a shard: so it may win, but gets no more than one shard ahead of another.
CREATE OR REPLACE FUNCTION vyaz_turns(slot worker, passed bigint[], warmth double precision)
RETURNS TABLE (class smallint, number bigint, claimable bigint) LANGUAGE sql STABLE AS $$
    SELECT DISTINCT ON (c.priority) c.priority, c.number, count(*) OVER ()
      FROM (SELECT j.priority, j.number, j.virtual_time[q.number] - warm AS job_time, o.id AS owner,
                   o.virtual_time[q.number] - max(warm) OVER (PARTITION BY j.priority, o.id) / o.weight AS owner_time
              FROM job j
              JOIN owner o ON o.id = j.owner_id
              JOIN queue q ON q.name = slot.queue,
                   LATERAL (SELECT CASE WHEN j.model_version_id = ANY (slot.warm) THEN warmth ELSE 0 END) w(warm)
             WHERE j.state IN ('queued', 'running') AND j.number <> ALL (passed) AND vyaz_fits(j, slot)
                   -- What needs no look at other rows is told here: a call costs fifty times as much.
               AND (j.next_index < j.total AND j.after_id IS NULL AND j.in_flight_limit IS NULL
                    OR vyaz_claimable(j, slot))) c
     ORDER BY c.priority, c.owner_time, c.owner, c.job_time, c.number
$$;

-- The job whose turn it is, without regard to what is warm or owed: is there any work at all?
CREATE OR REPLACE FUNCTION vyaz_turn(slot worker, passed bigint[]) RETURNS job LANGUAGE sql STABLE AS $$
    SELECT j FROM job j WHERE j.number = (SELECT t.number FROM vyaz_turns(slot, passed, 0) t ORDER BY t.class LIMIT 1)
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

-- Take one shard for a slot. No row: nothing is claimable. `more`: something still is, so ring again.
CREATE OR REPLACE FUNCTION vyaz_claim(slot_id uuid, lease interval, block bigint, aim double precision)
RETURNS TABLE (shard_id bigint, start bigint, stop bigint, epoch integer, attempts integer, closing boolean,
               job_id uuid, job_number bigint, owner_id uuid, kind text, spec jsonb, seed bigint, total bigint,
               after_id uuid, model_version_id uuid, more boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    slot worker; j job; o owner; q smallint; s shard;
    turns bigint[]; classes smallint[]; claimable bigint; passed bigint[] := '{}';
BEGIN
    SELECT w.* INTO slot FROM worker w WHERE w.id = slot_id AND w.state <> 'gone';
    IF NOT FOUND OR slot.state = 'draining' THEN RETURN; END IF;
    SELECT number INTO q FROM queue WHERE name = slot.queue;
    LOOP
        -- A class to which a tenth of a shard is owed comes first, else the classes in their order.
        SELECT array_agg(t.number ORDER BY slot.owed[t.class + 1] < aim / 10, t.class),
               array_agg(t.class ORDER BY slot.owed[t.class + 1] < aim / 10, t.class), max(t.claimable)
          INTO turns, classes, claimable FROM vyaz_turns(slot, passed, aim / 2) t;
        IF turns IS NULL THEN RETURN; END IF;
        SELECT owner.* INTO o FROM owner JOIN job ON job.owner_id = owner.id
         WHERE job.number = turns[1] FOR NO KEY UPDATE OF owner;
        SELECT * INTO j FROM job WHERE job.number = turns[1] FOR NO KEY UPDATE;
        IF j.number IS NOT NULL AND vyaz_claimable(j, slot) THEN
            s := vyaz_lease(j, slot, lease, block, aim, o.weight);
            EXIT WHEN s.id IS NOT NULL;
        END IF;
        -- Another slot was quicker on this job; an unlocked one may have work.
        passed := passed || turns[1];
    END LOOP;

    UPDATE owner SET virtual_time[q] = virtual_time[q] + s.charged, served[q] = j.virtual_time[q]
     WHERE id = o.id;
    UPDATE job SET virtual_time[q] = virtual_time[q] + s.estimate, state = 'running',
                   started_at = coalesce(started_at, clock_timestamp())
     WHERE number = j.number;
    IF j.started_at IS NULL THEN INSERT INTO event (job_number, what) VALUES (j.number, 'started'); END IF;
    INSERT INTO event (job_number, shard_id, epoch, what, actor)
    VALUES (j.number, s.id, s.epoch, 'leased', slot_id::text);
    UPDATE worker SET state = 'busy', shard_id = s.id, served = o.virtual_time[q], served_at = clock_timestamp(),
                      heartbeat_at = clock_timestamp(), owed = vyaz_owed(owed, classes, j.priority, s.estimate, aim),
                      warm = CASE WHEN j.model_version_id IS NULL THEN warm ELSE ARRAY[j.model_version_id] END
     WHERE id = slot.id AND state NOT IN ('gone', 'draining');
    -- Marked gone or draining since we looked: a shard held by it would have to be taken back at once.
    IF NOT FOUND THEN RAISE EXCEPTION USING MESSAGE = 'this slot may not claim any more', ERRCODE = 'object_in_use'; END IF;
    RETURN QUERY SELECT s.id, s.start, s.stop, s.epoch, s.attempts, s.closing,
                        j.id, j.number, j.owner_id, j.kind, j.spec, j.seed, j.total, j.after_id, j.model_version_id,
                        claimable > 1 OR (SELECT vyaz_claimable(job, slot) FROM job WHERE job.number = j.number);
END $$;

-- Inside a claim, with owner and job locked: a returned shard first, then a new range, then the closing shard.
CREATE OR REPLACE FUNCTION vyaz_lease(
    j job, slot worker, lease interval, block bigint, aim double precision, weight double precision)
RETURNS shard LANGUAGE plpgsql AS $$
DECLARE
    s shard; size bigint; guess double precision := 1;
    rate double precision := coalesce((j.seconds_per_item ->> slot.device_class)::float8, 0);
BEGIN
    SELECT * INTO s FROM shard
     WHERE shard.job_number = j.number AND state = 'returned' AND not_before <= clock_timestamp()
     ORDER BY shard.start LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF s.id IS NULL AND j.next_index < j.total THEN
        size := least(vyaz_shard_size(j, slot, block, aim), j.total - j.next_index);
        INSERT INTO shard (job_number, start, stop, state, mark)
        VALUES (j.number, j.next_index, j.next_index + size, 'returned', j.next_index) RETURNING * INTO s;
        UPDATE job SET next_index = s.stop WHERE number = j.number;
    ELSIF s.id IS NULL AND j.closing = 'due' AND NOT EXISTS (
            SELECT FROM shard WHERE shard.job_number = j.number AND state IN ('leased', 'returned')) THEN
        INSERT INTO shard (job_number, start, stop, state, mark, closing)
        VALUES (j.number, j.total, j.total, 'returned', j.total, true) RETURNING * INTO s;
        UPDATE job SET closing = 'leased' WHERE number = j.number;
    END IF;
    IF s.id IS NULL THEN RETURN NULL; END IF;
    IF rate > 0 THEN guess := least(rate * (s.stop - s.start), 60); END IF;
    UPDATE shard SET state = 'leased', epoch = shard.epoch + 1, attempts = shard.attempts + 1, slot_id = slot.id,
                     mark = shard.start, device_class = slot.device_class, lease_until = clock_timestamp() + lease,
                     estimate = guess, charged = guess / weight
     WHERE id = s.id RETURNING * INTO s;
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
        ELSE CASE WHEN (vyaz_turn(holder, ARRAY[j.number])).number IS NOT NULL THEN 'yield' ELSE 'go on' END
    END;
END $$;
