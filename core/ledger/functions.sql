-- The server-side half of the ledger: what must be decided under locks, in one round trip.
-- A claim locks owner, job, shard (SKIP LOCKED), slot; a finish locks shard, owner, job, slot. A claim never waits for a
-- shard, so the two do not meet crosswise; whatever remains PostgreSQL breaks, and both are tried again.
-- Time is clock_timestamp(), read after the locks are held.

-- May this slot claim something of this job now? Cheap for the common case: a job with unclaimed items left.
CREATE OR REPLACE FUNCTION vyaz_claimable(j job, slot worker) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT j.state IN ('queued', 'running')
       AND slot.queue = ANY (j.queues)
       AND coalesce((j.needs ->> 'engine')::integer, slot.engine) = slot.engine
       AND (j.after_id IS NULL OR EXISTS (SELECT FROM job earlier WHERE earlier.id = j.after_id AND earlier.state = 'done'))
       AND (j.in_flight_limit IS NULL OR j.in_flight_limit > (
               SELECT count(*) FROM shard s WHERE s.job_number = j.number AND s.state = 'leased'))
       AND (j.next_index < j.total
            OR EXISTS (SELECT FROM shard s WHERE s.job_number = j.number
                          AND s.state = 'returned' AND s.not_before <= clock_timestamp())
            OR j.closing = 'due' AND NOT EXISTS (
                   SELECT FROM shard s WHERE s.job_number = j.number AND s.state IN ('leased', 'returned')))
$$;

-- The job whose turn it is: class, then the owner, then the owner's job with the least virtual time.
CREATE OR REPLACE FUNCTION vyaz_turn(slot worker, passed bigint[]) RETURNS job LANGUAGE sql STABLE AS $$
    SELECT j FROM job j
      JOIN owner o ON o.id = j.owner_id
      JOIN queue q ON q.name = slot.queue
     WHERE j.state IN ('queued', 'running') AND j.number <> ALL (passed) AND vyaz_claimable(j, slot)
     ORDER BY j.priority, o.virtual_time[q.number], o.id, j.virtual_time[q.number], j.number
     LIMIT 1
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
    slot worker; j job; o owner; q smallint; s shard; turn bigint;
    passed bigint[] := '{}';
BEGIN
    SELECT w.* INTO slot FROM worker w WHERE w.id = slot_id AND w.state <> 'gone';
    IF NOT FOUND OR slot.state = 'draining' THEN RETURN; END IF;
    SELECT number INTO q FROM queue WHERE name = slot.queue;
    LOOP
        SELECT * INTO j FROM vyaz_turn(slot, passed);
        IF j.number IS NULL THEN RETURN; END IF;
        turn := j.number;
        SELECT * INTO o FROM owner WHERE id = j.owner_id FOR NO KEY UPDATE;
        SELECT * INTO j FROM job WHERE job.number = turn FOR NO KEY UPDATE;
        IF j.number IS NOT NULL AND vyaz_claimable(j, slot) THEN
            s := vyaz_lease(j, slot, lease, block, aim, o.weight);
            EXIT WHEN s.id IS NOT NULL;
        END IF;
        -- Another slot was quicker on this job; an unlocked one may have work.
        passed := passed || turn;
    END LOOP;

    UPDATE owner SET virtual_time[q] = virtual_time[q] + s.charged, served[q] = j.virtual_time[q]
     WHERE id = o.id;
    UPDATE job SET virtual_time[q] = virtual_time[q] + s.estimate, state = 'running',
                   started_at = coalesce(started_at, clock_timestamp())
     WHERE number = j.number;
    UPDATE worker SET state = 'busy', shard_id = s.id, served = o.virtual_time[q], served_at = clock_timestamp(),
                      heartbeat_at = clock_timestamp()
     WHERE id = slot.id AND state NOT IN ('gone', 'draining');
    -- Marked gone or draining since we looked: a shard held by it would have to be taken back at once.
    IF NOT FOUND THEN RAISE EXCEPTION USING MESSAGE = 'this slot may not claim any more', ERRCODE = 'object_in_use'; END IF;
    RETURN QUERY SELECT s.id, s.start, s.stop, s.epoch, s.attempts, s.closing,
                        j.id, j.number, j.owner_id, j.kind, j.spec, j.seed, j.total, j.after_id, j.model_version_id,
                        (vyaz_turn(slot, '{}')).number IS NOT NULL;
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
