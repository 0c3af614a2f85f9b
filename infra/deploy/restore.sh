#!/bin/sh
# Puts rows and files back as they were, out of what `npm run backup -- make` keeps; Postgres goes through its archived log when it is
# started next. What was there stays beside.
#
#   restore.sh NAME [TIME]     NAME of a folder in $BACKUPS/base; TIME as 2026-12-01T03:00:00Z, the newest there is when left out
#
# $POSTGRES_DATA  Postgres's data folder. It must not be running.
# $BACKUPS        as BACKUP_DIR
# $FILES          the folder of pictures and faces; empty: they are in S3, and stay as they are
# $OWNER          of the data, as postgres:postgres
set -eu
fail() { echo "restore: $1" >&2; exit 1; }

name=${1-}
time=${2-}
[ -n "$name" ] || fail "which copy? There are: $(ls "$BACKUPS/base" 2>/dev/null | tr '\n' ' ')"
base=$BACKUPS/base/$name
[ -f "$base/manifest.json" ] || fail "there is no copy $name. There are: $(ls "$BACKUPS/base" 2>/dev/null | tr '\n' ' ')"
[ ! -f "$POSTGRES_DATA/postmaster.pid" ] || fail 'Postgres is running, or was killed: stop it first'
if [ -n "$time" ]; then
  case $time in
    [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z) ;;
    *) fail "a time looks like 2026-12-01T03:00:00Z, in UTC; $time does not" ;;
  esac
fi

before=$POSTGRES_DATA.before-$(date -u +%Y-%m-%dT%H-%M-%SZ)
part=$POSTGRES_DATA.part
rm -rf "$part"
cp -a "$base/data" "$part"
# What an earlier restore asked for would be asked for again.
conf=$part/postgresql.auto.conf
sed -i '/^restore_command/d; /^recovery_/d' "$conf"
{
  echo "restore_command = 'gunzip < \"$BACKUPS/wal/%f.gz\" > \"%p\" 2>/dev/null || cp \"$before/pg_wal/%f\" \"%p\"'"
  echo "recovery_target_timeline = 'latest'"
  if [ -n "$time" ]; then
    echo "recovery_target_time = '$(echo "$time" | sed 's/T/ /; s/Z/+00/')'"
    echo "recovery_target_action = 'promote'"
  fi
} >> "$conf"
touch "$part/recovery.signal"
chown -R "$OWNER" "$part"
chmod 700 "$part"
if [ -d "$POSTGRES_DATA" ]; then
  mv "$POSTGRES_DATA" "$before"
  echo "What was there is kept in $before"
fi
mv "$part" "$POSTGRES_DATA"

if [ -n "$FILES" ] && [ -d "$BACKUPS/files" ]; then
  mkdir -p "$FILES"
  cp -an "$BACKUPS/files/." "$FILES/"
fi
echo "$name is in place. Start Postgres: it goes through its log first."
