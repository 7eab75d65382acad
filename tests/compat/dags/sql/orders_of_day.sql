{# the orders of one day, written anew: the task can run twice #}
DELETE FROM orders WHERE day = :day;
INSERT INTO orders VALUES (:day, {{ params.amount }});
