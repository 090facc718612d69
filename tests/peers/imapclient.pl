# A mail client on Perl's Mail::IMAPClient: reads, searches, flags, copies, moves, deletes, appends, waits.
# Prints what it saw as JSON.
#
#     perl imapclient.pl PORT USER PASSWORD CERTIFICATE

use strict;
use warnings;
use JSON::PP;
use Mail::IMAPClient;

my ($port, $user, $password, $certificate) = @ARGV;
my $imap = Mail::IMAPClient->new(
    Server   => 'localhost',
    Port     => $port,
    User     => $user,
    Password => $password,
    Starttls => [SSL_ca_file => $certificate, SSL_verify_mode => 1, SSL_hostname => 'localhost'],
    Uid      => 1,
    Peek     => 1,
    Timeout  => 60,
) or die "connect: $@";
my %saw;

sub must {
    my ($done, $what) = @_;
    defined $done or die "$what: " . $imap->LastError;
    return $done;
}

$saw{capabilities} = must(scalar $imap->capability, 'capability');
must($imap->select('INBOX'), 'select');
my @uids = $imap->messages;
$saw{uids} = [map { $_ + 0 } @uids];
my $headers = must($imap->parse_headers(\@uids, 'Subject', 'From'), 'headers');
$saw{subjects} = [map { $headers->{$_}{Subject}[0] } @uids];
$saw{sizes}    = [map { $imap->size($_) + 0 } @uids];
$saw{lengths}  = [map { length must($imap->message_string($_), 'message') } @uids];
$saw{found}    = [map { $_ + 0 } $imap->search('SUBJECT', \'Zweite')];
$saw{type}     = must($imap->get_bodystructure($uids[0]), 'bodystructure')->bodytype;
$saw{from}     = must($imap->get_envelope($uids[0]), 'envelope')->from_addresses;

must($imap->set_flag('Flagged', $uids[0]), 'flag');
$saw{flags} = [sort $imap->flags($uids[0])];
must($imap->create('Archiv'), 'create');
my $appended = must($imap->append_string('Archiv', "Subject: own\r\n\r\nhello\r\n", '\Seen'), 'append');
$saw{appended} = $appended + 0;
$saw{copied} = must($imap->copy('Archiv', $uids[1]), 'copy') + 0;
must($imap->move('Archiv', $uids[2]), 'move');
must($imap->delete_message($uids[1], $uids[2]), 'delete');
must($imap->expunge, 'expunge');
$saw{left}    = [map { $_ + 0 } $imap->messages];
$saw{folders} = [sort $imap->folders];
$saw{archive} = must($imap->message_count('Archiv'), 'count') + 0;

# What comes while it idles.
my $idle = must($imap->idle, 'idle');
$| = 1;
print "idling\n";
my $news = must(scalar $imap->idle_data(60), 'idle data');
$saw{news} = [map { s/\r\n$//r } grep { /EXISTS/ } @$news];
must($imap->done($idle), 'done');
must($imap->rename('Archiv', 'Alt'), 'rename');
must($imap->logout, 'logout');
print encode_json(\%saw), "\n";
