#!/usr/bin/env bash
# A Slurm of two pretended nodes on this machine, reachable from here alone, for tests.
#
#   tests/cluster/slurm.sh up FOLDER      starts munged, slurmctld and two slurmd, whose files are all in FOLDER
#   tests/cluster/slurm.sh down FOLDER    ends all jobs and these daemons
#
# As root, with Debian's slurm-wlm and munge installed. Commands find it by SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail
folder=$(realpath -m "$2")
export SLURM_CONF=$folder/slurm.conf
nodes="node1 node2"

up() {
  mkdir -p "$folder/state"
  (umask 077 && head -c 128 /dev/urandom > "$folder/key")
  host=$(hostname -s)
  # A node that lost its daemon is down after 20 seconds; a stopped job has 20 to write its checkpoint.
  cat > "$SLURM_CONF" << CONF
ClusterName=tiny
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$folder/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=26817
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SlurmdTimeout=20
KillWait=20
ReturnToService=2
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[26819-26820] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
  munged --force --key-file="$folder/key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
  slurmctld
  for node in $nodes; do
    mkdir -p "$folder/spool-$node"
    slurmd -N "$node"
  done
  for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%D --states=idle)" = 2 ] && return
    sleep 0.5
  done
  echo "the nodes are not up; $folder has the logs" >&2
  exit 1
}

down() {
  scancel --user="$(id -un)" || true
  for _ in $(seq 50); do
    [ -z "$(squeue --noheader 2> /dev/null)" ] && break
    sleep 0.5
  done
  for daemon in slurmd-node1 slurmd-node2 slurmctld munged; do
    pid=$(cat "$folder/$daemon.pid" 2> /dev/null) || continue
    kill "$pid" 2> /dev/null || continue
    for _ in $(seq 40); do
      kill -0 "$pid" 2> /dev/null || break
      sleep 0.25
    done
  done
}

"$1"
