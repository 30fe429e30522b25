-- share_of(top): a scalar, not rows: top itself if it is a share, above 0 and at most 1; else an error.
create or replace macro share_of(top) as
case when top > 0 and top <= 1 then top else error('top is a share, above 0 and at most 1') end
