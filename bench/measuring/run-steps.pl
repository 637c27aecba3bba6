#!/usr/bin/perl
# Usage: run-steps.pl REPORT < STEPS
#        run-steps.pl REPORT PROGRAM ARGUMENT…
#
# Runs commands as PostgreSQL runs archive_command and restore_command: each through /bin/sh, the next when the one before
# has ended. A step is a line: the command, and where something has to be renamed when the command is done, as PostgreSQL
# does then (.ready to .done, the fetched segment to its place): a tab, from, a tab, to. A program is a single step.
#
# It is the sub-reaper (prctl(2)) of whatever is started: a process that detaches itself is waited for as well, and what
# it used is counted. Node can do neither; Perl is part of every Debian. Processes that still live when the last step is
# done are asked to end (SIGTERM) after a while: an archiver that waits for more work would be waited for in vain.
#
# REPORT becomes one JSON object: the exit status of the first step that failed (0: none) and its number, seconds until the
# last step had ended and until every process had, CPU seconds, and the peak memory of the largest process.
use strict;
use warnings;
use POSIX qw(WNOHANG);
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

my %numbers = (x86_64 => { prctl => 157, getrusage => 98 }, aarch64 => { prctl => 167, getrusage => 165 });
my $machine = (POSIX::uname())[4];
my $call = $numbers{$machine} or die "run-steps.pl: the numbers of system calls on $machine are not known\n";
my ($set_child_subreaper, $rusage_children) = (36, -1);
syscall($call->{prctl}, $set_child_subreaper, 1, 0, 0, 0) == 0 or die "prctl: $!\n";

my ($report, @program) = @ARGV;
my @steps = @program ? ([]) : map { chomp; [split /\t/] } <STDIN>;
open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";

# Orphans end meanwhile, too: one that nobody has waited for would still look alive to whoever asks by its number.
sub run {
  my @words = @_;
  my $child = fork // die "fork: $!\n";
  if ($child == 0) {
    exec { $words[0] } @words or POSIX::_exit(127);
  }
  while (1) {
    my $ended = waitpid(-1, 0);
    return $? >> 8 || $? if $ended == $child;
  }
}

# A second for those that are about to end by themselves, then SIGTERM, then as long as it takes.
sub end_rest {
  my $deadline = clock_gettime(CLOCK_MONOTONIC) + 1;
  while ((my $ended = waitpid(-1, WNOHANG)) != -1) {
    next if $ended > 0;
    sleep 0.02;
    last if clock_gettime(CLOCK_MONOTONIC) > $deadline;
  }
  if (open my $children, '<', "/proc/$$/task/$$/children") {
    kill 'TERM', split ' ', <$children> // '';
  }
  1 while wait() != -1;
}

my ($status, $failed) = (0, 0);
my $start = clock_gettime(CLOCK_MONOTONIC);
for my $number (1 .. @steps) {
  my ($command, $from, $to) = @{ $steps[$number - 1] };
  $status = @program ? run(@program) : run('/bin/sh', '-c', $command);
  if ($status == 0 && defined $to && !rename($from, $to)) {
    print STDERR "$from cannot be renamed to $to: $!\n";
    $status = 1;
  }
  next if $status == 0;
  $failed = $number;
  last;
}
my $answered = clock_gettime(CLOCK_MONOTONIC);
end_rest();
my $ended = clock_gettime(CLOCK_MONOTONIC);

my $usage = "\0" x 144;
syscall($call->{getrusage}, $rusage_children, $usage) == 0 or die "getrusage: $!\n";
my ($user, $user_micros, $system, $system_micros, $peak) = unpack 'l!5', $usage;
open my $out, '>', $report or die "$report: $!\n";
printf $out '{"status":%d,"failedStep":%d,"wallSeconds":%.6f,"endSeconds":%.6f,"userSeconds":%.6f,'
  . '"systemSeconds":%.6f,"peakBytes":%d}', $status, $failed, $answered - $start, $ended - $start,
  $user + $user_micros / 1e6, $system + $system_micros / 1e6, $peak * 1024;
close $out or die "$report: $!\n";
exit $status;
